"""What the platform adds to the transcription itself."""
