package shipping

// Seeded are the countries and, by zone, the tariffs with which the shop opens.
var Seeded = []struct {
	Country
	Zone int
}{
	{Country{"AT", "Austria"}, 1}, {Country{"BE", "Belgium"}, 1}, {Country{"BR", "Brazil"}, 3}, {Country{"CA", "Canada"}, 3},
	{Country{"CH", "Switzerland"}, 2}, {Country{"CZ", "Czechia"}, 1}, {Country{"DE", "Germany"}, 0}, {Country{"DK", "Denmark"}, 1},
	{Country{"ES", "Spain"}, 1}, {Country{"FI", "Finland"}, 1}, {Country{"FR", "France"}, 1}, {Country{"GB", "United Kingdom"}, 2},
	{Country{"IE", "Ireland"}, 1}, {Country{"IN", "India"}, 3}, {Country{"IT", "Italy"}, 1}, {Country{"JP", "Japan"}, 3},
	{Country{"NL", "Netherlands"}, 1}, {Country{"NO", "Norway"}, 2}, {Country{"PL", "Poland"}, 1}, {Country{"PT", "Portugal"}, 1},
	{Country{"SE", "Sweden"}, 1}, {Country{"TR", "Türkiye"}, 2}, {Country{"UA", "Ukraine"}, 2}, {Country{"US", "United States"}, 3},
}

// Zones are the tariffs by zone, cheapest first.
var Zones = [][]Tariff{
	{{"standard", "Standard", 390, 80, 3}, {"express", "Express", 990, 150, 1}},
	{{"standard", "Standard", 890, 160, 5}, {"express", "Express", 1990, 320, 2}},
	{{"standard", "Standard", 1290, 240, 7}, {"express", "Express", 2790, 480, 3}},
	{{"standard", "Standard", 1990, 690, 14}, {"express", "Express", 4490, 1190, 5}},
}
