package sdk

import (
	"strings"
	"time"

	"github.com/sallyport/sallyport/sdk/tree"
)

// ParseTime reads a date of RFC 3339, fractions of a second dropped, or of
// HTTP in its one current form (RFC 9110 §5.6.7). It is here because
// time.Parse costs a module 140 KB.
func ParseTime(text string) (time.Time, bool) {
	if len(text) == len("Mon, 02 Jan 2006 15:04:05 GMT") && text[3:5] == ", " && strings.HasSuffix(text, " GMT") {
		const months = "JanFebMarAprMayJunJulAugSepOctNovDec"
		month := strings.Index(months, text[8:11])
		if month < 0 || month%3 != 0 || text[7] != ' ' || text[11] != ' ' || text[16] != ' ' {
			return time.Time{}, false
		}
		return date(text[12:16], month/3+1, text[5:7], text[17:25], 0)
	}
	const layout = "2006-01-02T15:04:05"
	if len(text) <= len(layout) || text[4] != '-' || text[7] != '-' || text[10]|0x20 != 't' {
		return time.Time{}, false
	}
	zone := text[len(layout):]
	if zone[0] == '.' {
		zone = strings.TrimLeft(zone[1:], "0123456789")
	}
	offset, ok := parseZone(zone)
	month, ok2 := whole(text[5:7])
	if !ok || !ok2 {
		return time.Time{}, false
	}
	return date(text[:4], month, text[8:10], text[11:19], offset)
}

// date puts the parts together; clock is 15:04:05, offset in seconds east.
func date(year string, month int, day, clock string, offset int) (time.Time, bool) {
	y, ok1 := whole(year)
	d, ok2 := whole(day)
	h, ok3 := whole(clock[:2])
	m, ok4 := whole(clock[3:5])
	s, ok5 := whole(clock[6:])
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || clock[2] != ':' || clock[5] != ':' ||
		month < 1 || month > 12 || d < 1 || d > 31 || h > 23 || m > 59 || s > 60 {
		return time.Time{}, false
	}
	return time.Date(y, time.Month(month), d, h, m, s-offset, 0, time.UTC), true
}

// parseZone reads Z or ±hh:mm as seconds east of Greenwich.
func parseZone(zone string) (int, bool) {
	if zone == "Z" || zone == "z" {
		return 0, true
	}
	if len(zone) != len("+00:00") || zone[3] != ':' || zone[0] != '+' && zone[0] != '-' {
		return 0, false
	}
	h, ok1 := whole(zone[1:3])
	m, ok2 := whole(zone[4:])
	seconds := h*3600 + m*60
	if zone[0] == '-' {
		seconds = -seconds
	}
	return seconds, ok1 && ok2 && h < 24 && m < 60
}

// whole reads digits only.
func whole(digits string) (int, bool) {
	n := 0
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, digits != ""
}

// ParseSeconds reads a number of seconds as JSON writes one, rounded down: some
// upstreams write durations and times with a fraction.
func ParseSeconds(text string) (int64, bool) { return tree.String(text).Floor() }

// ParseInt reads a whole number as JSON writes one.
func ParseInt(text string) (int64, bool) {
	v, err := tree.Parse([]byte(text))
	if err != nil {
		return 0, false
	}
	return v.Int()
}
