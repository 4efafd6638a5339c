package topology

const (
	// DatabasePort is where users of a lab's database reach its primary, at UserVIP.
	DatabasePort = 5432
	// DatabaseNodePort is where any node leads to the primary.
	DatabaseNodePort = 30432
)
