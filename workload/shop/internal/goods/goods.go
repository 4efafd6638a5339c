// Package goods is what the shop sells: categories, products and how they look.
// Everything is made by rules from a few words, so that every installation has
// the same goods and nothing has to be downloaded.
package goods

import (
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"zdl/workload/shop/internal/money"
)

// Product is one thing that can be bought.
type Product struct {
	ID       string      `json:"id" bson:"_id"` // category's singular and a name, such as mug-quorum
	Name     string      `json:"name" bson:"name"`
	Category string      `json:"category" bson:"category"`
	Text     string      `json:"text" bson:"text"`
	Cents    money.Cents `json:"cents" bson:"cents"` // what one costs, tax included
	Grams    int         `json:"grams" bson:"grams"` // what one weighs in its parcel
}

// Category is a kind of products.
type Category struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Text string `json:"text"`
}

// kind is a category with what its products have in common.
type kind struct {
	Category
	singular           string
	thing              string
	from, to           money.Cents
	fromGrams, toGrams int
	made               []string
}

var kinds = []kind{
	{Category{"mugs", "Mugs", "Stoneware that keeps coffee warm through a long deployment."}, "mug", "mug", 900, 2600, 320, 520,
		[]string{"Glazed by hand, safe in the dishwasher.", "Thick walls, a wide handle and no slogan.", "Fired twice, so that it survives a fall from a low desk."}},
	{Category{"lamps", "Lamps", "Light for the hours in which pagers ring."}, "lamp", "lamp", 3900, 12900, 900, 3200,
		[]string{"Warm light, dimmed by a turn of its foot.", "A steel arm that stays where you leave it.", "Draws four watts and flickers not at all."}},
	{Category{"plants", "Plants", "Quiet company that scales on its own."}, "plant", "plant", 700, 4900, 600, 4200,
		[]string{"Forgives a week without water.", "Grows towards the window and needs turning once a month.", "Comes with its pot and a saucer."}},
	{Category{"clocks", "Clocks", "They agree with each other to within a second a month."}, "clock", "clock", 2900, 15900, 400, 1900,
		[]string{"Silent movement, a dial that reads from across the room.", "Runs two years on one battery.", "Hands of brass, numerals of patience."}},
	{Category{"notebooks", "Notebooks", "For runbooks that work without power."}, "notebook", "notebook", 600, 2200, 180, 480,
		[]string{"Dotted paper that takes ink and lies flat.", "160 numbered pages and an index to fill in.", "A cover that shrugs off coffee."}},
	{Category{"umbrellas", "Umbrellas", "Redundancy against the weather."}, "umbrella", "umbrella", 1900, 6900, 350, 700,
		[]string{"Eight ribs; it still works with seven.", "Opens in half a second, closes when told.", "Turns inside out and back without complaint."}},
}

// names are given to one product in every category.
var names = []string{"Quorum", "Beacon", "Harbour", "Relay", "Ember", "Meridian", "Juniper", "Basalt", "Lumen", "Tidal", "Alder"}

// adjectives describe the products of one name.
var adjectives = []string{"steady", "bright", "sheltered", "swift", "warm", "precise", "evergreen", "weighty", "clear", "restless", "patient"}

// Categories lists the categories in the order in which the shop shows them.
func Categories() []Category {
	list := make([]Category, len(kinds))
	for i, k := range kinds {
		list[i] = k.Category
	}
	return list
}

// Opened is when these goods and their prices were put together.
var Opened = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)

// Seed is what the shop sells when it opens, ordered by category and name.
func Seed() []Product {
	list := make([]Product, 0, len(kinds)*len(names))
	for _, k := range kinds {
		for n, name := range names {
			id := k.singular + "-" + strings.ToLower(name)
			steps := (k.to - k.from) / 50
			list = append(list, Product{
				ID: id, Name: name + " " + k.thing, Category: k.ID,
				Text: "A " + adjectives[n] + " " + k.thing + ". " + k.made[draw(id, "made", len(k.made))],
				// Prices look like prices: they end in 40 or 90.
				Cents: k.from + money.Cents(draw(id, "price", int(steps)+1))*50 - 10,
				Grams: k.fromGrams + draw(id, "weight", (k.toGrams-k.fromGrams)/10+1)*10,
			})
		}
	}
	slices.SortStableFunc(list, func(a, b Product) int {
		if a.Category == b.Category {
			return strings.Compare(a.Name, b.Name)
		}
		return 0
	})
	return list
}

// ValidID tells whether a word could name a product, so that nothing else ever
// reaches a store: two words of small letters with a hyphen between them.
func ValidID(id string) bool {
	if len(id) > 40 {
		return false
	}
	first, second, found := strings.Cut(id, "-")
	return found && letters(first) && letters(second)
}

func letters(s string) bool {
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			return false
		}
	}
	return s != ""
}

// draw picks one of n for a product: always the same one.
func draw(id, what string, n int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(what + "/" + id))
	return int(h.Sum64() >> 1 % uint64(n))
}
