"""Similarities by sentence embeddings from models on this machine."""
