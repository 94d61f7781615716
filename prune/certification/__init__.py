"""Certificates about a pair of networks: over regions, over a population, and as files a stranger can check."""

from .region import RegionCertificate as RegionCertificate
from .region import certify as certify
