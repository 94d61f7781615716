"""Certificates about a pair of networks: over regions, over a population, and as files a stranger can check."""

from .certificate import build_certificate as build_certificate
from .certificate import check_certificate as check_certificate
from .certificate import write_certificate as write_certificate
from .population import PopulationCertificate as PopulationCertificate
from .population import certify_population as certify_population
from .prediction import predicted_error as predicted_error
from .prediction import propagated_error as propagated_error
from .region import RegionCertificate as RegionCertificate
from .region import certify as certify
