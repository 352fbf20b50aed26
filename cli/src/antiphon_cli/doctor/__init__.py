"""What `antiphon doctor` looks at. It changes nothing, and makes nothing that is not there."""
