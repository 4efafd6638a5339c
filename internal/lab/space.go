package lab

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// leastSpace is what must stay free where the lab's disks lie while it boots,
// in bytes. Node disks grow as they are written; when the host has no room for
// that, nodes see I/O errors, and etcd stops without saying so to anybody.
const leastSpace = 32 << 20

// watchSpace ends a boot with a reason when the disk of dir is full. It returns
// when ctx ends.
func watchSpace(ctx context.Context, dir string, end context.CancelCauseFunc) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		var s unix.Statfs_t
		if unix.Statfs(dir, &s) == nil {
			if free := int64(s.Bavail) * s.Bsize; free < leastSpace {
				end(fmt.Errorf("the disk of %s is full: %d MiB are left of it; free some space there, or set ZDL_STATE to a directory on another disk", dir, free>>20))
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
