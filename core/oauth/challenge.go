package oauth

import "strings"

// ChallengedScopes returns the scopes that a resource server names in a Bearer
// challenge with insufficient_scope (RFC 6750 §3), nil if it names none. values
// are those of WWW-Authenticate; each may hold several challenges (RFC 9110
// §11.6.1). A challenge that cannot be read counts for nothing.
func ChallengedScopes(values []string) []string {
	for _, text := range values {
		scheme, params := "", map[string]string{}
		for rest := text; rest != ""; {
			var word, value string
			var param bool
			if word, value, param, rest = challengePart(rest); word == "" {
				break
			}
			if param {
				params[strings.ToLower(word)] = value
				continue
			}
			if scopes := insufficient(scheme, params); scopes != nil {
				return scopes
			}
			scheme, params = word, map[string]string{}
		}
		if scopes := insufficient(scheme, params); scopes != nil {
			return scopes
		}
	}
	return nil
}

func insufficient(scheme string, params map[string]string) []string {
	if !strings.EqualFold(scheme, "Bearer") || params["error"] != "" && params["error"] != string(InsufficientScope) {
		return nil
	}
	if scopes := ParseScope(params["scope"]); len(scopes) > 0 {
		return scopes
	}
	return nil
}

// challengePart reads a scheme, or a parameter with its value, from the
// beginning of a challenge. An empty word: what follows cannot be read.
func challengePart(s string) (word, value string, param bool, rest string) {
	const separators = " \t,"
	s = strings.TrimLeft(s, separators)
	end := strings.IndexAny(s, separators+"=\"")
	if end < 0 {
		return s, "", false, ""
	}
	word, rest = s[:end], strings.TrimLeft(s[end:], " \t")
	if !strings.HasPrefix(rest, "=") {
		return word, "", false, rest
	}
	rest = strings.TrimLeft(rest[1:], " \t")
	if !strings.HasPrefix(rest, `"`) {
		end := strings.IndexAny(rest+",", separators)
		return word, rest[:end], true, rest[end:]
	}
	value, rest = unquote(rest[1:])
	return word, value, true, rest
}

// unquote reads a quoted-string behind its first quotation mark (RFC 9110
// §5.6.4).
func unquote(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", ""
}
