package tenant

// Look is what a tenant's pages have of their own, beside its name.
type Look struct {
	Logo    string // data: URI of a PNG or SVG image; empty: none
	Color   string // #rrggbb; empty: ours
	Support string // https or mailto URL where users get help; empty: none
}
