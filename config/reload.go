package config

import (
	"reflect"
	"strings"
)

// reloads reports whether a change of a key counts without a restart. The tag
// is on the key, or on the section that holds it.
func reloads(f reflect.StructField) bool { return f.Tag.Get("reload") != "" }

// KeepFixed puts what cannot change while a server runs back to what it is in
// now, and returns the keys that differ, in the order of the reference.
func KeepFixed(now, next *Config) (differ []string) {
	keepFixed(nil, reflect.ValueOf(now).Elem(), reflect.ValueOf(next).Elem(), &differ)
	return differ
}

func keepFixed(at []string, now, next reflect.Value, differ *[]string) {
	for i := range now.NumField() {
		f := now.Type().Field(i)
		key := append(at[:len(at):len(at)], f.Tag.Get("koanf"))
		switch {
		case reloads(f):
		case shapeOf(f.Type).kind == section:
			keepFixed(key, now.Field(i), next.Field(i), differ)
		case !reflect.DeepEqual(now.Field(i).Interface(), next.Field(i).Interface()):
			*differ = append(*differ, strings.Join(key, "/"))
			next.Field(i).Set(now.Field(i))
		}
	}
}
