package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"zdl/workload/shop/internal/ledger"
)

// shownDifferences is how many differences are printed.
const shownDifferences = 50

func rebuild(ctx context.Context, out io.Writer) error {
	store, err := ledger.NewPostgres(need("SHOP_POSTGRES_DSN"), 2)
	if err != nil {
		return err
	}
	defer store.Close()
	events, err := store.Rebuild(ctx)
	if err != nil {
		return fmt.Errorf("rebuild from the ledger: %w", err)
	}
	_, err = fmt.Fprintf(out, "Stock, totals and shipping states were made again from %d events.\n", events)
	return err
}

func check(ctx context.Context, out io.Writer) error {
	store, err := ledger.NewPostgres(need("SHOP_POSTGRES_DSN"), 2)
	if err != nil {
		return err
	}
	defer store.Close()
	differences, events, pending, err := store.Compare(ctx, shownDifferences)
	if err != nil {
		return fmt.Errorf("compare with the ledger: %w", err)
	}
	for _, d := range differences {
		if _, err := fmt.Fprintln(out, d); err != nil {
			return err
		}
	}
	if len(differences) > 0 {
		return errors.New("the processed data do not follow from the ledger; \"shop rebuild\" makes them again")
	}
	_, err = fmt.Fprintf(out, "Stock, totals and shipping states follow from the ledger: %d events, of which %d are not processed yet.\n", events, pending)
	return err
}
