"""What can be asked, as OpenAPI 3.1: `/openapi.json`."""

DESCRIPTION: dict[str, object] = {}
