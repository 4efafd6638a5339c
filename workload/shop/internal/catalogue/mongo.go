package catalogue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"zdl/workload/shop/internal/goods"
)

// Mongo is the catalogue in a document store.
type Mongo struct{ products *mongo.Collection }

// NewMongo uses the collection products of a database.
func NewMongo(db *mongo.Database) *Mongo { return &Mongo{db.Collection("products")} }

// Setup adds the products that are missing. It never changes one that is there.
func (m *Mongo) Setup(ctx context.Context) error {
	var documents []any
	for _, p := range goods.Seed() {
		documents = append(documents, p)
	}
	_, err := m.products.InsertMany(ctx, documents, options.InsertMany().SetOrdered(false))
	if err != nil && !onlyDuplicates(err) {
		return fmt.Errorf("seed the catalogue: %w", err)
	}
	return nil
}

// onlyDuplicates tells whether a write failed only for documents that exist.
func onlyDuplicates(err error) bool {
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) {
		return mongo.IsDuplicateKeyError(err)
	}
	return bulk.WriteConcernError == nil && !slices.ContainsFunc(bulk.WriteErrors, func(e mongo.BulkWriteError) bool { return e.Code != 11000 })
}

// Check asks the store for nothing in particular.
func (m *Mongo) Check(ctx context.Context) error {
	return m.products.Database().RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Err()
}

// Products implements Store.
func (m *Mongo) Products(ctx context.Context) ([]goods.Product, error) {
	cursor, err := m.products.Find(ctx, bson.D{})
	if err != nil {
		return nil, err
	}
	var list []goods.Product
	if err := cursor.All(ctx, &list); err != nil {
		return nil, err
	}
	// The order of the shelves, not that of the store.
	rank := map[string]int{}
	for i, c := range goods.Categories() {
		rank[c.ID] = i
	}
	slices.SortFunc(list, func(a, b goods.Product) int {
		if d := rank[a.Category] - rank[b.Category]; d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, nil
}
