"""What every test may ask for."""

from hypothesis import settings

pytest_plugins = ["tests.cluster", "tests.kafka_server", "tests.postgres_server"]

settings.register_profile("same", derandomize=True)  # the same examples everywhere, so a change that fails is to blame
settings.register_profile("seek", derandomize=False)  # new ones each time: `make seek`
settings.load_profile("same")
