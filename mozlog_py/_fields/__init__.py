"""What a call has said, as the Fields of a line."""
