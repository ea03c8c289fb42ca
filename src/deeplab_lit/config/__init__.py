"""Configuration: schemas, composition by Hydra, checks, and the identity of a training."""
