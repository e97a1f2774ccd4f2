"""Flower at the same work: FedAvg over gRPC, with clients that return at once what they were given.

`flower.py server ADDRESS CLIENTS PARAMETERS ROUNDS` waits for the clients, runs the rounds and prints one
JSON object; `flower.py clients ADDRESS CLIENTS` is all of the clients, a thread and a channel each.

This is Flower's own gRPC server and client without its processes for apps, isolation and object stores: the
shortest way that an update can take through Flower.
"""

import json
import os
import sys
import threading
import time
import warnings

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
warnings.simplefilter("ignore")

import flwr
import numpy
from flwr.client import NumPyClient, start_client
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerConfig, start_server
from flwr.server.strategy import FedAvg


class Timed(FedAvg):
    """FedAvg that keeps when a round's orders are made and when its average is there."""

    def __init__(self, clients: int, parameters: int):
        first = [numpy.zeros(parameters, dtype=numpy.float32)]
        super().__init__(
            fraction_fit=1.0,
            fraction_evaluate=0.0,
            min_fit_clients=clients,
            min_available_clients=clients,
            accept_failures=False,
            initial_parameters=ndarrays_to_parameters(first),
        )
        self.rounds: list[tuple[float, float]] = []
        self.updates = 0

    def configure_fit(self, *arguments, **named):
        # Waits for the clients first.
        orders = super().configure_fit(*arguments, **named)
        self.begun = time.perf_counter()
        return orders

    def aggregate_fit(self, server_round, results, failures):
        if failures:
            raise SystemExit(f"round {server_round}: {len(failures)} clients failed: {failures[0]}")
        aggregated = super().aggregate_fit(server_round, results, failures)
        self.updates += len(results)
        self.rounds.append((self.begun, time.perf_counter()))
        return aggregated


class AtOnce(NumPyClient):
    """A client without work."""

    def fit(self, parameters, config):
        return parameters, 1, {}


def serve(address: str, clients: int, parameters: int, rounds: int) -> None:
    strategy = Timed(clients, parameters)
    start_server(server_address=address, config=ServerConfig(num_rounds=rounds), strategy=strategy)
    if strategy.updates != clients * rounds:
        raise SystemExit(f"{strategy.updates} updates came in, expected {clients * rounds}")
    seconds = strategy.rounds[-1][1] - strategy.rounds[0][0]
    print(
        json.dumps(
            {
                "version": flwr.__version__,
                "clients": clients,
                "parameters": parameters,
                "rounds": rounds,
                "seconds": seconds,
                "updates_per_s": strategy.updates / seconds,
            }
        )
    )


def join(address: str, clients: int) -> None:
    def one() -> None:
        start_client(server_address=address, client=AtOnce().to_client(), insecure=True, max_retries=60)

    threads = [threading.Thread(target=one) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["server", address, clients, parameters, rounds]:
            serve(address, int(clients), int(parameters), int(rounds))
        case ["clients", address, clients]:
            join(address, int(clients))
        case _:
            raise SystemExit(__doc__)
