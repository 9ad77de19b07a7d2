from lkgrag.report.drawing import draw
from lkgrag.report.style import COLOURS
from lkgrag.serving.recommendation import PathExplanation, RankedItem, Recommendation


def drawn(colours, *relations):
    ends = [["item", "A"], ["item", "B"]]
    paths = [PathExplanation(name, 0.0, ends, [name]) for name in relations]
    figure = draw(Recommendation([RankedItem(1, "b", "B", 0, 0, 0, 0, paths)], []), "x", colours)
    legend = figure.axes[0].get_legend()
    words = [text.get_text() for text in legend.get_texts()]
    return dict(zip(words, [line.get_color() for line in legend.get_lines()], strict=True))


def test_a_kind_of_path_has_one_colour_on_a_page():
    colours = {}
    first = drawn(colours, "followed_by", "co_rated")
    second = drawn(colours, "similar_title", "co_rated", "followed_by")
    assert first == {word: second[word] for word in first}
    assert len(set(second.values())) == 3


def test_what_has_no_name_is_one_thing_and_not_another():
    """Two candidates of two languages do not share one, and two of the same language do."""
    relations = ["in_language", "rev_in_language"]

    def dots(first, second):
        nodes = [["item", "A"], ["film_language", ""], ["item", "B"]]
        items = []
        for rank, language in enumerate((first, second), start=1):
            path = PathExplanation("like A", 0.0, nodes, relations, [0, language, rank])
            items.append(RankedItem(rank, str(rank), "B", 0, 0, 0, 0, [path]))
        texts = draw(Recommendation(items, []), "x").axes[0].texts
        return [t.get_text() for t in texts].count("film language")

    assert (dots(7, 7), dots(7, 8)) == (1, 2)


def test_kinds_of_one_drawing_have_colours_of_their_own():
    colours = {}
    for n in range(len(COLOURS)):
        drawn(colours, f"kind_{n}")
    both = drawn(colours, "kind_0", "another")
    assert len(set(both.values())) == 2
