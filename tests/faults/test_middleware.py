"""A middleware that wraps ``send`` without declaring that it only looks."""

from tests.faults.clients import Clients
from tests.faults.serve import serving


async def test_a_middleware_that_censors_sees_every_frame_and_is_named_once() -> None:
    with serving("pried") as server:
        async with Clients(server.port) as clients:
            people = [await clients.enter(name) for name in ("ann", "bob", "carl")]
            for person in people:
                await person.request(type="join", room="kept-clean")
            for number in range(50):
                for person in people:
                    await person.request(type="say", room="kept-clean", text=f"damn {number}")
            for person in people:
                heard = [await person.expect(type="said") for _ in range(150)]
                assert [said["offset"] for said in heard] == list(range(1, 151))
                assert {said["text"] for said in heard} == {f"**** {number}" for number in range(50)}
            # What is replayed passes it too.
            back = await clients.enter("dora")
            epoch = (await back.request(type="join", room="kept-clean"))["epoch"]
            again = await clients.enter("dora")
            await again.request(type="join", room="kept-clean", since={"offset": 100, "epoch": epoch})
            missed = [await again.expect(type="said") for _ in range(50)]
            assert all(said["text"].startswith("****") for said in missed)
        assert server.log.count("Prying wraps `send`") == 1
