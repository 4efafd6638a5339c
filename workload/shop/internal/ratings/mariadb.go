package ratings

import (
	"context"
	"fmt"
	"strings"

	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/relational"
)

// MariaDB keeps ratings. It is a Store.
type MariaDB struct{ db *relational.Database }

// NewMariaDB makes a store.
func NewMariaDB(db *relational.Database) *MariaDB { return &MariaDB{db} }

// Setup makes the table and adds the ratings with which the shop opens.
func (s *MariaDB) Setup(ctx context.Context) error {
	err := s.db.Setup(ctx, `create table if not exists ratings (product varchar(40) not null, reviewer char(32) not null, stars tinyint not null,
		at timestamp not null default current_timestamp on update current_timestamp, primary key (product, reviewer)) character set ascii`)
	if err != nil {
		return err
	}
	for _, p := range goods.Seed() {
		var rows []any
		for i, stars := range Seeded(p.ID) {
			rows = append(rows, p.ID, fmt.Sprintf("seed-%d", i), stars)
		}
		sql := "insert ignore into ratings (product, reviewer, stars) values (?,?,?)" + strings.Repeat(",(?,?,?)", len(rows)/3-1)
		if _, err := s.db.ExecContext(ctx, sql, rows...); err != nil {
			return err
		}
	}
	return nil
}

// Seeded are the stars that a product has when the shop opens: the same every
// time, between 5 and 24 of them.
func Seeded(product string) []int {
	h := uint32(2166136261)
	next := func(n int) int { // FNV-1a, stirred on
		for _, c := range []byte(product) {
			h = (h ^ uint32(c)) * 16777619
		}
		h ^= h >> 15
		return int(h>>3) % n
	}
	stars := make([]int, 5+next(20))
	worst := 1 + next(4)
	for i := range stars {
		stars[i] = worst + next(6-worst)
	}
	return stars
}

// Sums implements Store.
func (s *MariaDB) Sums(ctx context.Context) (map[string]Sum, error) {
	rows, err := s.db.QueryContext(ctx, "select product, count(*), cast(sum(stars) as signed) from ratings group by product")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	sums := map[string]Sum{}
	for rows.Next() {
		var product string
		var sum Sum
		if err := rows.Scan(&product, &sum.Count, &sum.Stars); err != nil {
			return nil, err
		}
		sums[product] = sum
	}
	return sums, rows.Err()
}

// Rate implements Store.
func (s *MariaDB) Rate(ctx context.Context, product, reviewer string, stars int) error {
	_, err := s.db.ExecContext(ctx, "insert into ratings (product, reviewer, stars) values (?, ?, ?) on duplicate key update stars = ?", product, reviewer, stars, stars)
	return err
}
