"""The network, the diffusion process and its losses."""
