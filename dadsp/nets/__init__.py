"""Torch building blocks without Lightning: encoders, autoencoder, discriminator, gradient reversal."""
