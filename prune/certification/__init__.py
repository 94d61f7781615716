"""Certificates about a pair of networks: over regions, over a population, and as files a stranger can check."""

from .bundle import unpack_bundle, write_bundle
from .certificate import build_certificate, check_certificate, write_certificate
from .error_propagation import predicted_error, propagated_error
from .population import PopulationCertificate, certify_population
from .region import RegionCertificate, certify, certify_batches

__all__ = [
    "PopulationCertificate",
    "RegionCertificate",
    "build_certificate",
    "certify",
    "certify_batches",
    "certify_population",
    "check_certificate",
    "predicted_error",
    "propagated_error",
    "unpack_bundle",
    "write_bundle",
    "write_certificate",
]
