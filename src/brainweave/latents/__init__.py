"""Latents of cohorts: made once, and looked at by a doctor."""

from brainweave.latents.doctor import Diagnosis, doctor
from brainweave.latents.encode import encode

__all__ = ["Diagnosis", "doctor", "encode"]
