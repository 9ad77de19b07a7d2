"""Write a small bookshop: books/books.inter, books/books.item and books/books.kg."""

import random
from itertools import pairwise
from pathlib import Path

random.seed(7)
AUTHORS = [
    ("Ada Moss", "mystery"),
    ("Ben Okafor", "mystery"),
    ("Cleo Lund", "space"),
    ("Dai Pham", "space"),
    ("Eve Sorel", "travel"),
    ("Finn Abara", "travel"),
    ("Gia Rossi", "cooking"),
    ("Hal Ito", "cooking"),
    ("Ines Vega", "poetry"),
    ("Jon Brandt", "poetry"),
]
PLACES = ["Harbour", "Garden", "Station", "Island", "Winter"]

books = []  # (id, title, author, genre); five books an author, each the sequel of the one before
for number, (author, genre) in enumerate(AUTHORS):
    for part, place in enumerate(PLACES):
        books.append((f"b{number}{part}", f"{author.split()[1]}'s {place}", author, genre))

events = []  # (user, book, stars, time)
for user in range(48):
    first, second = random.sample(range(len(AUTHORS)), 2)
    order = [b for a in (first, second) for b in books[5 * a : 5 * a + 5]]
    for other in random.sample([b for b in books if b not in order], 3):
        order.insert(random.randrange(len(order)), other)
    for place, book in enumerate(order[: random.randint(8, 13)]):
        liked = book[2] in (AUTHORS[first][0], AUTHORS[second][0])
        stars = random.choice([4, 5] if liked else [2, 3, 4])
        events.append((f"u{user}", book[0], stars, 1000 * place + user))

folder = Path("books")
folder.mkdir(exist_ok=True)
with open(folder / "books.inter", "w") as file:
    file.write("user_id:token\titem_id:token\trating:float\ttimestamp:float\n")
    file.writelines(f"{u}\t{b}\t{stars}\t{time}\n" for u, b, stars, time in events)
with open(folder / "books.item", "w") as file:
    file.write("item_id:token\ttitle:token_seq\tauthor:token\tgenre:token_seq\n")
    file.writelines(f"{b}\t{title}\t{author}\t{genre}\n" for b, title, author, genre in books)
with open(folder / "books.kg", "w") as file:
    file.write("head_id:token\trelation_id:token\ttail_id:token\n")
    for before, after in pairwise(books):
        if before[2] == after[2]:
            file.write(f"{before[0]}\tsequel\t{after[0]}\n")
print(len(books), "books,", len(events), "purchases")
