"""The blueprint the owner's pages hang on."""

from __future__ import annotations

from flask import Blueprint

from ...config import settings
from ...extensions import limiter

blueprint = Blueprint("admin", __name__)
limiter.limit(lambda: settings().rate_limit_admin_default)(blueprint)
