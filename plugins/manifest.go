package plugins

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/rules"
)

// MaxModule is the size in bytes above which a file is not read.
const MaxModule = 16 << 20

// Info is what a plugin file says of itself without running.
type Info struct {
	Path     string
	Digest   string // sha256:… of the whole file
	Size     int    // bytes
	Manifest abi.Manifest
}

// Inspect reads a plugin file and its manifest; none of its code runs.
func Inspect(path string) (Info, error) {
	wasm, err := readModule(path)
	if err != nil {
		return Info{}, err
	}
	manifest, err := ReadManifest(wasm)
	if err != nil {
		return Info{}, fmt.Errorf("plugins: %s: %w", path, err)
	}
	return Info{path, Digest(wasm), len(wasm), manifest}, nil
}

// Digest names a plugin file by its content.
func Digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func readModule(path string) ([]byte, error) {
	// A FIFO or a device in its place would keep the reader waiting: it is never
	// opened, and one put there in between does not block.
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file; put the plugin's file there", path)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file; put the plugin's file there", path)
	}
	wasm, err := io.ReadAll(io.LimitReader(f, MaxModule+1))
	if err != nil {
		return nil, err
	}
	if len(wasm) > MaxModule {
		return nil, fmt.Errorf("the file is larger than %d MiB; leave net/http and debug information out of it", MaxModule>>20)
	}
	return wasm, nil
}

// AppendManifest returns wasm with manifest as its one manifest section.
func AppendManifest(wasm, manifest []byte) []byte {
	body := append(appendSized(nil, []byte(abi.ManifestSection)), manifest...)
	return appendSized(append(withoutSection(wasm, abi.ManifestSection), customSection), body)
}

// ReadManifest reads and checks the manifest section of a module.
func ReadManifest(wasm []byte) (abi.Manifest, error) {
	text, err := manifestText(wasm)
	if err != nil {
		return abi.Manifest{}, err
	}
	return parseManifest(text)
}

func manifestText(wasm []byte) ([]byte, error) {
	all, err := sections(wasm)
	if err != nil {
		return nil, err
	}
	var found [][]byte
	for _, s := range all {
		if s.id == customSection && s.name == abi.ManifestSection {
			found = append(found, s.contents)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("it has %d custom sections %q, a plugin has one; build it with: sallyport plugin build", len(found), abi.ManifestSection)
	}
	return found[0], nil
}

var versionPattern = regexp.MustCompile(`^\d{1,9}(\.\d{1,9}){0,2}(-[0-9A-Za-z.-]{1,64})?$`)

func parseManifest(text []byte) (abi.Manifest, error) {
	var m abi.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("the manifest is not the JSON it should be: %w", err)
	}
	major, _, _ := strings.Cut(m.ABI, ".")
	ours, _, _ := strings.Cut(abi.Version, ".")
	var faults []error
	if major != ours {
		faults = append(faults, fmt.Errorf("manifest: abi is %q, this host speaks %s", m.ABI, abi.Version))
	}
	if err := rules.CheckName(m.Name); err != nil {
		faults = append(faults, fmt.Errorf("manifest: name is %q; %w", m.Name, err))
	}
	if !versionPattern.MatchString(m.Version) {
		faults = append(faults, fmt.Errorf("manifest: version is %q; use one like 1.2.0", m.Version))
	}
	for _, h := range m.Hosts {
		if err := rules.CheckHost(h); err != nil {
			faults = append(faults, fmt.Errorf("manifest: host %q; %w", h, err))
		}
	}
	faults = append(faults, checkSecretURLs(m)...)
	if _, err := parseSchema(m.Settings); err != nil {
		faults = append(faults, fmt.Errorf("manifest: %w", err))
	}
	return m, errors.Join(faults...)
}

// sameJSON compares two JSON texts by what they say.
func sameJSON(a, b []byte) bool {
	decode := func(text []byte) (v any, err error) {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		return v, d.Decode(&v)
	}
	va, errA := decode(a)
	vb, errB := decode(b)
	return errA == nil && errB == nil && reflect.DeepEqual(va, vb)
}

// setting returns the value that text, "{settings.NAME}", stands for; named is
// false if text is an ordinary one.
func setting(text string, settings map[string]any) (value any, named bool) {
	name, ok := strings.CutPrefix(text, "{settings.")
	name, closed := strings.CutSuffix(name, "}")
	if !ok || !closed {
		return nil, false
	}
	return settings[name], true
}

// settled fills a setting into a text for people.
func settled(text string, settings map[string]any) string {
	value, named := setting(text, settings)
	if !named {
		return text
	}
	s, _ := value.(string)
	return s
}

// sameHost compares two entries of host lists; https has port 443.
func sameHost(a, b string) bool {
	return strings.TrimSuffix(a, ":443") == strings.TrimSuffix(b, ":443")
}

// compareVersions orders versions as Semantic Versioning 2.0.0 §11 does for
// the numbers; a pre-release comes before its release, two of them compare as
// text.
func compareVersions(a, b string) int {
	numsA, preA, _ := strings.Cut(a, "-")
	numsB, preB, _ := strings.Cut(b, "-")
	na, nb := versionNumbers(numsA), versionNumbers(numsB)
	for i := range na {
		if na[i] != nb[i] {
			if na[i] < nb[i] {
				return -1
			}
			return 1
		}
	}
	switch {
	case preA == preB:
		return 0
	case preA == "":
		return 1
	case preB == "":
		return -1
	}
	return strings.Compare(preA, preB)
}

func versionNumbers(s string) (n [3]int) {
	for i, part := range strings.SplitN(s, ".", 3) {
		n[i], _ = strconv.Atoi(part) // the pattern was checked
	}
	return n
}
