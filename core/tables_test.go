package core_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Tables in Markdown say which test proves what. A row's last cell names files,
// from the repository's root, and after each its tests:
//
//	`core/refuse_test.go`: `TestReusedCodeEndsTheGrant`, `TestX/y`; `…`
//
// y is a case of TestX by the name that stands in a test file beside it, or in
// that of a file y.txtar below it.

// row is one row of a table.
type row struct {
	where       string // file and line
	head, cells []string
}

// rowsOf reads the tables of a file, their heads left out.
func rowsOf(t *testing.T, file string) (all []row) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	var head []string
	for i, line := range lines {
		switch {
		case !strings.HasPrefix(line, "|"), strings.HasPrefix(line, "|---"):
		case i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|---"):
			head = cellsOf(line)
		default:
			all = append(all, row{file + ":" + strconv.Itoa(i+1), head, cellsOf(line)})
		}
	}
	return all
}

func cellsOf(line string) []string {
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

func (r row) last() string { return r.cells[len(r.cells)-1] }

var quoted = regexp.MustCompile("`([^`]+)`")

// proof finds the tests that rows name.
type proof struct{ files map[string]*ast.File }

// missing says what is wrong with the tests of a row, if anything.
func (p *proof) missing(r row) (faults []string) {
	file, tests := "", 0
	for _, match := range quoted.FindAllStringSubmatch(r.last(), -1) {
		switch name := match[1]; {
		case strings.HasSuffix(name, "_test.go"):
			file = name
		case file == "":
			faults = append(faults, name+" stands behind no file")
		default:
			tests++
			if why := p.check(file, name); why != "" {
				faults = append(faults, file+": "+name+" "+why)
			}
		}
	}
	if tests == 0 {
		faults = append(faults, "no test")
	}
	return faults
}

// check looks a test up in its file.
func (p *proof) check(file, name string) (why string) {
	path := filepath.Join("..", filepath.FromSlash(file))
	parsed := p.files[path]
	if parsed == nil {
		var err error
		if parsed, err = parser.ParseFile(token.NewFileSet(), path, nil, 0); err != nil {
			return "is in no file that can be read"
		}
		p.files[path] = parsed
	}
	name, part, _ := strings.Cut(name, "/")
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil || f.Name.Name != name || !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") {
			continue
		}
		switch {
		case skips(f):
			return "can be skipped"
		case part != "" && !p.hasCase(filepath.Dir(path), part):
			return "has no such case"
		}
		return ""
	}
	return "is not there"
}

// skips tells whether a test may leave itself out.
func skips(f *ast.FuncDecl) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
			found = true
		}
		return !found
	})
	return found
}

// hasCase tells whether a test in dir has a case of that name.
func (p *proof) hasCase(dir, name string) (found bool) {
	for _, below := range []string{"testdata", "testdata/script", "testdata/faults"} {
		_, err := os.Stat(filepath.Join(dir, below, name+".txtar"))
		found = found || err == nil
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		found = found || err == nil && holds(parsed, name)
	}
	return found
}

// holds tells whether a text stands in a file as a string.
func holds(file *ast.File, text string) (found bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			value, _ := strconv.Unquote(literal.Value)
			found = found || value == text
		}
		return !found
	})
	return found
}

// flaws are the rows of FLAWS.md. None of them goes without being missed.
func flaws() []string {
	return []string{
		"GHSA-c2jp-c369-7pvx", "GHSA-rww4-4w9c-7733", "GHSA-6x8h-498w-gv8c", "GHSA-5h2m-4q8j-pqpj",
		"PrefectHQ/fastmcp#3524", "PrefectHQ/fastmcp#3430", "fastmcp, verifiers without audience", "PrefectHQ/fastmcp#3098",
		"PrefectHQ/fastmcp#4400, #4426", "PrefectHQ/fastmcp#4041", "CVE-2025-4143", "CVE-2025-4144",
		"cloudflare/workers-oauth-provider#92", "cloudflare/workers-oauth-provider#225", "cloudflare/workers-oauth-provider#188", "cloudflare/workers-oauth-provider#80",
		"GHSA-pw9m-5jxm-xr6h", "GHSA-86j7-9j95-vpqj", "GHSA-9h47-pqcx-hjr4", "GHSA-7w99-5wm4-3g79", "GHSA-392p-2q2v-4372",
		"GHSA-p2fr-6hmx-4528", "GHSA-xr8f-h2gw-9xh6", "GHSA-cq3f-vc6p-68fh", "GHSA-5rr4-8452-hf4v",
		"GHSA-x445-f3h2-j279", "GHSA-vgf8-3685-66j9", "GHSA-8pcq-mx48-hjvj", "GHSA-gj7g-7r6g-jc8v", "ContextForge, SSRF fixes",
		"GHSA-3768-rwj3-38p2", "GHSA-g53w-w6mj-hrpp", "GHSA-vw82-7fv8-r6gp", "CVE-2025-64443", "CVE-2025-6514",
		"CVE-2026-45609", "metadata poisoning, as written up for SDKs", "CVE-2026-25536",
		"GHSA-wx5f-576r-gpcx", "anythingmcp#417", "punkpeye/fastmcp#262", "Obsidian Security, one-click takeovers",
		"F1 malicious registration", "F2 blind trust in a client id", "F3 layers that differ", "F4 nested context", "F5 PKCE downgrade",
		"F6 consent page", "F7 open redirect", "F8 weak state", "F9 code replay",
		"issuer from the Host header", "CORS with credentials", "`response_type=token`", "endpoints that are not there", "wrong token revoked",
		"storage error taken for theft", "refresh token spent twice", "answer lost after rotation", "client's token passed on", "subject made up",
		"e-mail taken for identity", "registrations that fill the store", "limits by written address", "tokens readable at rest", "errors that quote",
	}
}

// ownFaults are the ids of the faults that were found in the first release
// candidate: of trust, of users and operators, and of provider authors.
func ownFaults() (ids []string) {
	for _, kind := range []struct {
		letter string
		count  int
	}{{"S", 23}, {"U", 33}, {"P", 14}} {
		for n := range kind.count {
			ids = append(ids, kind.letter+strconv.Itoa(n+1))
		}
	}
	return ids
}

// open reports whether a row says in its last cell that it is open, and why.
// Only our own faults may be.
func (r row) open() bool {
	why, open := strings.CutPrefix(r.last(), "open: ")
	return open && why != "" && slices.Contains(ownFaults(), r.cells[0])
}

func TestEveryFlawIsHeldOff(t *testing.T) {
	t.Parallel()
	find := &proof{files: map[string]*ast.File{}}
	missed := map[string]bool{}
	for _, id := range append(flaws(), ownFaults()...) {
		missed[id] = true
	}
	for _, r := range rowsOf(t, "FLAWS.md") {
		if len(r.cells) != 4 {
			t.Errorf("%s: %d cells, want id, what happened, here, tests", r.where, len(r.cells))
			continue
		}
		known := false
		for id := range maps.Clone(missed) {
			if rest, ok := strings.CutPrefix(r.cells[0], id); ok && (rest == "" || rest[0] == ',' || rest[0] == ' ') {
				delete(missed, id)
				known = true
			}
		}
		if !known {
			t.Errorf("%s: %s stands twice, or is not an id of flaws() or ownFaults()", r.where, r.cells[0])
		}
		if r.open() {
			continue
		}
		for _, fault := range find.missing(r) {
			t.Errorf("%s: %s: %s", r.where, r.cells[0], fault)
		}
	}
	for id := range missed {
		t.Errorf("FLAWS.md has no row for %s", id)
	}
}

// The checker has to find what it is for.
func TestWhatIsNoProof(t *testing.T) {
	t.Parallel()
	find := &proof{files: map[string]*ast.File{}}
	for tests, want := range map[string]string{
		"`core/tables_test.go`: `TestWhatIsNoProof`":                                              "",
		"`providers/oidc/main_test.go`: `TestTranscripts/exchange-no-sub`":                        "",
		"`core/refuse_test.go`: `TestWrongTokenRequestsAreRefusedAndBurnNoCode/a wrong verifier`": "",
		"":                      "no test",
		"`TestWhatIsNoProof`":   "behind no file",
		"`core/tables_test.go`": "no test",
		"`core/none_test.go`: `TestWhatIsNoProof`":                         "no file that can be read",
		"`core/flaws_test.go`: `TestWhatIsNoProof`":                        "is not there",
		"`core/tables_test.go`: `rowsOf`":                                  "is not there",
		"`providers/oidc/main_test.go`: `TestTranscripts/of-nothing`":      "no such case",
		"`plugins/github_test.go`: `TestGitHubProviderThroughTheBoundary`": "can be skipped",
	} {
		got := strings.Join(find.missing(row{cells: []string{tests}}), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", tests, got, want)
		}
	}
	for id, tests := range map[string]string{"S1": "open:", "S2": "open", "CVE-2025-4143": "open: later"} {
		if (row{cells: []string{id, tests}}).open() {
			t.Errorf("%s: %q counts as a reason to be open", id, tests)
		}
	}
}
