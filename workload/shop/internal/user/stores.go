package user

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Mongo keeps accounts in a document store, under their address. It is Accounts.
type Mongo struct{ accounts *mongo.Collection }

// NewMongo uses the collection accounts of a database.
func NewMongo(db *mongo.Database) *Mongo { return &Mongo{db.Collection("accounts")} }

// Check asks the store for nothing in particular. Nothing has to be set up.
func (m *Mongo) Check(ctx context.Context) error {
	return m.accounts.Database().RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Err()
}

// Create implements Accounts.
func (m *Mongo) Create(ctx context.Context, a Account) error {
	_, err := m.accounts.InsertOne(ctx, a)
	if mongo.IsDuplicateKeyError(err) {
		return ErrTaken
	}
	return err
}

// Find implements Accounts.
func (m *Mongo) Find(ctx context.Context, email string) (a Account, err error) {
	err = m.accounts.FindOne(ctx, bson.D{{Key: "_id", Value: email}}).Decode(&a)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return Account{}, ErrUnknown
	}
	return a, err
}

// Redis keeps sessions. It is Sessions.
type Redis struct{ client *redis.Client }

// NewRedis makes a store.
func NewRedis(c *redis.Client) *Redis { return &Redis{c} }

// Put implements Sessions.
func (s *Redis) Put(ctx context.Context, hash string, who Session, life time.Duration) error {
	body, err := json.Marshal(who)
	if err != nil {
		return err
	}
	return s.client.Set(ctx, "session:"+hash, body, life).Err()
}

// Get implements Sessions.
func (s *Redis) Get(ctx context.Context, hash string) (who Session, err error) {
	body, err := s.client.Get(ctx, "session:"+hash).Bytes()
	if errors.Is(err, redis.Nil) {
		return Session{}, ErrUnknown
	}
	if err != nil {
		return Session{}, err
	}
	return who, json.Unmarshal(body, &who)
}

// Delete implements Sessions.
func (s *Redis) Delete(ctx context.Context, hash string) error {
	return s.client.Del(ctx, "session:"+hash).Err()
}
