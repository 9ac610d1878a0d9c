"""The flagd provider for Python in file mode: reads one user a line, prints what that user gets, one a line.

It runs outside of our own environment, since the provider wants a newer protobuf than Dagster: `python -S` with the
folder of its packages on PYTHONPATH.
"""

import json
import sys

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider  # type: ignore[import-not-found]
from openfeature.contrib.provider.flagd.config import ResolverType  # type: ignore[import-not-found]
from openfeature.evaluation_context import EvaluationContext

if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    file_mode = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=options["file"])
    api.set_provider_and_wait(file_mode) if hasattr(api, "set_provider_and_wait") else api.set_provider(file_mode)
    client = api.get_client()
    users = sys.stdin.read().split("\n")
    given = [client.get_string_value(options["flag"], "default", EvaluationContext(targeting_key=u)) for u in users]
    sys.stdout.write("\n".join(given))
    sys.stdout.flush()
    api.shutdown()
