package shipping

import (
	"context"
	"strings"

	"zdl/workload/shop/internal/relational"
)

// MariaDB keeps countries and tariffs. It is a Store.
type MariaDB struct{ db *relational.Database }

// NewMariaDB makes a store.
func NewMariaDB(db *relational.Database) *MariaDB { return &MariaDB{db} }

// Setup makes the tables and adds what the shop opens with; what is there stays.
func (s *MariaDB) Setup(ctx context.Context) error {
	err := s.db.Setup(ctx,
		"create table if not exists countries (code char(2) primary key, name varchar(60) not null, zone int not null) character set utf8mb4",
		"create table if not exists tariffs (zone int not null, method varchar(20) not null, name varchar(60) not null, base int not null, per_kg int not null, days int not null, primary key (zone, method)) character set utf8mb4")
	if err != nil {
		return err
	}
	var rows []any
	for _, c := range Seeded {
		rows = append(rows, c.Code, c.Name, c.Zone)
	}
	if _, err := s.db.ExecContext(ctx, "insert ignore into countries values "+tuples(len(Seeded), 3), rows...); err != nil {
		return err
	}
	rows = nil
	for zone, tariffs := range Zones {
		for _, t := range tariffs {
			rows = append(rows, zone, t.Method, t.Name, t.Base, t.PerKg, t.Days)
		}
	}
	_, err = s.db.ExecContext(ctx, "insert ignore into tariffs values "+tuples(len(rows)/6, 6), rows...)
	return err
}

// tuples is (?,?),(?,?) for n rows.
func tuples(n, columns int) string {
	one := "(?" + strings.Repeat(",?", columns-1) + ")"
	return one + strings.Repeat(","+one, n-1)
}

// Countries implements Store.
func (s *MariaDB) Countries(ctx context.Context) ([]Country, error) {
	rows, err := s.db.QueryContext(ctx, "select code, name from countries order by name")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var list []Country
	for rows.Next() {
		var c Country
		if err := rows.Scan(&c.Code, &c.Name); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// Tariffs implements Store.
func (s *MariaDB) Tariffs(ctx context.Context, country string) ([]Tariff, error) {
	rows, err := s.db.QueryContext(ctx, `select t.method, t.name, t.base, t.per_kg, t.days from tariffs t
		join countries c on c.zone = t.zone where c.code = ? order by t.base`, country)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var list []Tariff
	for rows.Next() {
		var t Tariff
		if err := rows.Scan(&t.Method, &t.Name, &t.Base, &t.PerKg, &t.Days); err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, rows.Err()
}
