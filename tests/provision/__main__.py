"""`python -m tests.provision`: names what is missing, one a line, for ./test to install."""

import os

from . import chromium, postgres, redis

if not os.environ.get("VLOG_TEST_POSTGRES_URL") and postgres.find_programs() is None:
    print("postgresql")
if redis.find_program() is None:
    print("redis")
if not chromium.driver_runs():
    print("playwright")
elif chromium.find_chromium() is None:
    print("chromium")
