"""nightline-nano: a small whisper for a Chinese telephone hotline, trained from nothing on synthetic speech."""
