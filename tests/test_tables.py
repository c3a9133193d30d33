"""Tables in markdown."""

from kdvideo.tables import markdown_rows, markdown_table


def test_a_table_has_a_head_a_rule_and_rows():
    """A table without rows is a head and a rule, which markdown shows as an empty table."""
    assert markdown_table([("a", "b"), ("1", "")]) == "| a | b |\n|---|---|\n| 1 |  |\n"
    assert markdown_table([("a",)]) == "| a |\n|---|\n"
    assert markdown_rows([]) == ""
