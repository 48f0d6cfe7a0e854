"""By what callers are known, as the settings say."""

from pathlib import Path

from autopilot_server.access.authenticators import Authenticator, Authenticators
from autopilot_server.access.certificates import AnyCertificate
from autopilot_server.access.oidc import JwtBearer, Provider, ProviderKeys
from autopilot_server.access.tokens import TokenFile
from autopilot_server.config import Settings
from autopilot_server.jobs.errors import StartupError


class Callers:
    """The sources of identities of a server."""

    def __init__(self, settings: Settings) -> None:
        """Read them. StartupError."""
        self.tokens = TokenFile(Path(settings.token_file)) if settings.token_file else None
        self.provider_keys = _provider_keys(settings)
        self.authenticators = _authenticators(settings, self.tokens, self.provider_keys)


def _provider_keys(settings: Settings) -> ProviderKeys | None:
    """Those of the provider that the settings name. StartupError."""
    if not settings.oidc_issuer and not settings.oidc_audience:
        return None
    for name, value in (("--oidc-issuer", settings.oidc_issuer), ("--oidc-audience", settings.oidc_audience)):
        if not value:
            # Without an audience, whatever the provider signed for any service would be taken.
            raise StartupError(f"--oidc-issuer and --oidc-audience go together: {name} is missing")
    return ProviderKeys(settings.oidc_issuer)


def _authenticators(settings: Settings, tokens: TokenFile | None, provider_keys: ProviderKeys | None) -> Authenticators:
    found: list[Authenticator] = []
    if tokens is not None:
        found.append(tokens)
    if provider_keys is not None:
        provider = Provider(
            issuer=settings.oidc_issuer,
            audience=settings.oidc_audience,
            tenant_claim=settings.oidc_tenant_claim,
            grants_claim=settings.oidc_grants_claim,
        )
        found.append(JwtBearer(provider, provider_keys))
    if not found and settings.tls_client_ca:
        found.append(AnyCertificate())
    return Authenticators(found)
