"""What the project has spent, in the file of the answer cache: one account for all runs and all processes."""

from flywheel.synthesize.cache import Answers


class Spending:
    """Dollars of all runs. What is put aside for a request stays so when the process is killed: nobody knows what it cost."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    @property
    def total(self) -> float:
        """Dollars spent and put aside."""
        row: tuple[float] = self._answers.connection.execute(
            "SELECT coalesce((SELECT dollars FROM spent), 0.0) + coalesce((SELECT sum(dollars) FROM aside), 0.0)"
        ).fetchone()
        return row[0]

    def put_aside(self, name: str, dollars: float, budget: float | None) -> bool:
        """Put dollars aside under a name unless that would take the total above the budget; whether it was done.

        What was put aside under the same name before is replaced. Two processes cannot both take the last dollars.
        """
        with self._answers.connection as connection:
            taken = connection.execute(
                "INSERT OR REPLACE INTO aside SELECT :name, :dollars WHERE :budget IS NULL OR :dollars <= :budget"
                " - coalesce((SELECT dollars FROM spent), 0.0)"
                " - coalesce((SELECT sum(dollars) FROM aside WHERE name != :name), 0.0)",
                {"name": name, "dollars": dollars, "budget": budget},
            )
        return taken.rowcount == 1

    def settle(self, name: str, dollars: float) -> None:
        """What was put aside under this name cost so much in the end; the rest is free again. Counts once for a name."""
        with self._answers.connection as connection:
            if connection.execute("DELETE FROM aside WHERE name = ?", (name,)).rowcount:
                connection.execute(
                    "INSERT INTO spent VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET dollars = dollars + excluded.dollars",
                    (dollars,),
                )
