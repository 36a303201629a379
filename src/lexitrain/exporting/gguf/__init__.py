"""GGUF: the format of llama.cpp and of the phone apps built on it."""
