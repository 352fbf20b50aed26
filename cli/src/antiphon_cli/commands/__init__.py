"""The commands of `antiphon`. What is heavy is imported where it is used, so that `antiphon --help` answers at once."""
