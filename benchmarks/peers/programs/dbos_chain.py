"""DBOS: a workflow of five steps, called by threads as its programming guide does."""

import sys

from answering import answer_with_threads, answers
from dbos import DBOS


@DBOS.step()
def add(x: int) -> int:
    return x + 1


@DBOS.workflow()
def chain(x: int) -> int:
    for _ in range(5):
        x = add(x)
    return x


def main(url: str, pool: int) -> None:
    to = answers()
    DBOS(
        config={
            "name": "chain",
            "system_database_url": url,
            "sys_db_pool_size": pool,
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    answer_with_threads(lambda: chain(1), to)
    DBOS.destroy()


main(sys.argv[1], int(sys.argv[2]))
