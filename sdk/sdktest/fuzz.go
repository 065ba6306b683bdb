package sdktest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
)

// Fuzz holds the conversations of testdata/*.txtar with other answers than the
// upstream's: one answer of each is changed in its status, its headers and its
// body. Whatever an upstream says, a provider must
//
//   - answer with a whole document, the same one when asked again,
//   - come to an end,
//   - never call it a bug of its own, which a panic is too,
//   - say nothing to the user that came from the conversation as a secret.
func Fuzz(f *testing.F, p sdk.Provider) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	call := func(input []byte) ([]byte, error) { return sdk.Run(p, input), nil }
	var stories []story
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		s, err := readStory(call, string(text))
		if err != nil {
			f.Fatalf("%s: %v", file, err)
		}
		if len(s.steps) == 0 {
			continue
		}
		for at, step := range s.steps {
			f.Add(len(stories), at, step.Status, headerText(step.Headers), s.bodies[at])
		}
		stories = append(stories, s)
	}
	if len(stories) == 0 {
		f.Fatal("no transcript in testdata has an answer")
	}
	f.Fuzz(func(t *testing.T, which, at, status int, headers string, body []byte) {
		s := stories[index(which, len(stories))]
		s = s.changed(index(at, len(s.steps)), status, headers, body)
		if err := s.hold(call); err != "" {
			t.Error(err)
		}
	})
}

// story is the conversation of a transcript: what is called, and the answers.
type story struct {
	in      abi.Input
	steps   []abi.Step
	bodies  [][]byte
	secrets []secret
}

func readStory(call Call, transcript string) (story, error) {
	_, sections := parseArchive(transcript)
	var s story
	for _, section := range sections {
		switch section.name {
		case "call":
			in, _, err := parseCall(call, section.text)
			if err != nil {
				return s, err
			}
			s.in = *in
			s.secrets = append(s.secrets, secretsIn(in.Input)...)
		case "response":
			step, body, err := parseResponse(section.text)
			if err != nil {
				return s, err
			}
			s.steps, s.bodies = append(s.steps, step), append(s.bodies, body)
			s.secrets = append(s.secrets, secretsIn(body)...)
		}
	}
	return s, nil
}

// changed returns the story with another answer at one place.
func (s story) changed(at, status int, headers string, body []byte) story {
	s.steps, s.bodies = append([]abi.Step{}, s.steps...), append([][]byte{}, s.bodies...)
	step := abi.Step{Status: 100 + index(status-100, 500), Headers: []abi.Header{}, BodyLen: len(body)}
	for _, line := range strings.Split(headers, "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			step.Headers = append(step.Headers, abi.Header{strings.ToLower(name), strings.TrimSpace(strings.ToValidUTF8(value, "\uFFFD"))})
		}
	}
	s.steps[at], s.bodies[at] = step, body
	return s
}

// hold holds the conversation and says what is wrong with it, or nothing. When
// the answers run out, the last one is given again.
func (s story) hold(call Call) string {
	in := s.in
	in.Steps = []abi.Step{}
	var bodies [][]byte
	for {
		in.StepsLeft = maxSteps - len(in.Steps)
		out, _, err := twice(call, in, bodies)
		switch {
		case err != nil:
			return err.Error()
		case out.Error != nil:
			return s.judge(out.Error)
		case out.Result != nil:
			if !json.Valid(out.Result) {
				return "the result is no JSON"
			}
			return ""
		case len(in.Steps) == maxSteps:
			return "the conversation does not end"
		}
		step, body := abi.Step{Headers: []abi.Header{}}, []byte(nil) // what answers a wait
		if out.Request != nil {
			at := min(len(in.Steps), len(s.steps)-1)
			step, body = s.steps[at], s.bodies[at]
		}
		in.Steps, bodies = append(in.Steps, step), append(bodies, body)
	}
}

// judge looks at an error.
func (s story) judge(e *abi.Error) string {
	if e.Kind == abi.KindBug {
		return "an answer of the upstream made the provider call it a bug of its own: " + e.Detail
	}
	for _, secret := range s.secrets {
		if len(secret.value) >= shortest && strings.Contains(e.Message, secret.value) {
			return "the message for the user holds a secret of the conversation: " + e.Message
		}
	}
	return ""
}

// index brings any number into 0 … n-1.
func index(i, n int) int { return (i%n + n) % n }

func headerText(headers []abi.Header) string {
	var lines []string
	for _, h := range headers {
		lines = append(lines, h[0]+": "+h[1])
	}
	return strings.Join(lines, "\n")
}
