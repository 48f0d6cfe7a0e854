package autopilot

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	autopilotv1 "github.com/autopilot-jobs/autopilot/generated/go/autopilot/v1"
	"google.golang.org/protobuf/types/known/structpb"
)

func text(t *testing.T, value any) string {
	t.Helper()
	message, err := payload(value)
	if err != nil {
		t.Fatal(err)
	}
	return message.GetJsonText()
}

func TestWhatGoesOut(t *testing.T) {
	cases := map[string]any{
		`{"n":9007199254740993}`:           map[string]any{"n": int64(9007199254740993)},
		`[9223372036854775807,-9]`:         []any{int64(math.MaxInt64), -9},
		`{"Name":"<a> & \"b\" 漢"}`:         struct{ Name string }{"<a> & \"b\" 漢"},
		`null`:                             json.RawMessage("null"),
		`18446744073709551615`:             json.Number("18446744073709551615"),
		`{"again":{"n":9007199254740993}}`: map[string]any{"again": Value{text: json.RawMessage(`{"n":9007199254740993}`)}},
	}
	for expected, value := range cases {
		if found := text(t, value); found != expected {
			t.Errorf("%v: expected %s, found %s", value, expected, found)
		}
	}
}

func TestWhatJSONHasNotGotIsRefused(t *testing.T) {
	for _, value := range []any{math.NaN(), math.Inf(1), func() {}, Value{}, Value{size: 5}} {
		if message, err := payload(value); err == nil {
			t.Errorf("%v became %v", value, message)
		}
	}
	if message, err := optionalPayload(nil); message != nil || err != nil {
		t.Errorf("nil became %v, %v", message, err)
	}
}

func TestWhatComesInIsExact(t *testing.T) {
	value := valueOf(&autopilotv1.Payload{Kind: &autopilotv1.Payload_JsonText{JsonText: `{"n":9007199254740993,"x":0.1}`}})
	var typed struct {
		N int64
		X float64
	}
	if err := value.Decode(&typed); err != nil || typed.N != 9007199254740993 || typed.X != 0.1 {
		t.Errorf("%v, %v", typed, err)
	}
	var untyped any
	if err := value.Decode(&untyped); err != nil {
		t.Fatal(err)
	}
	if number := untyped.(map[string]any)["n"]; number != json.Number("9007199254740993") {
		t.Errorf("%v", number)
	}
}

func TestWhatIsNotThereIsNotNull(t *testing.T) {
	var target any
	missing, null, omitted := valueOf(nil), Value{text: json.RawMessage("null")}, valueOf(
		&autopilotv1.Payload{Kind: &autopilotv1.Payload_Omitted{Omitted: &autopilotv1.Omitted{SizeBytes: 7}}})
	if !missing.IsMissing() || !errors.Is(missing.Decode(&target), ErrNoValue) || missing.JSON() != nil {
		t.Error("a value that is missing")
	}
	if null.IsMissing() || null.Decode(&target) != nil || string(null.JSON()) != "null" {
		t.Error("null")
	}
	size, is := omitted.Omitted()
	if size != 7 || !is || omitted.IsMissing() || !errors.Is(omitted.Decode(&target), ErrOmitted) {
		t.Error("a value that is omitted")
	}
	if missing.String() != "(no value)" || omitted.String() != "(omitted)" || null.String() != "null" {
		t.Error("texts")
	}
}

func TestWholeDoublesAreIntegers(t *testing.T) {
	message, err := structpb.NewValue(map[string]any{"n": 1e15, "x": 0.5, "l": []any{-3.0, 1e300}})
	if err != nil {
		t.Fatal(err)
	}
	value := valueOf(&autopilotv1.Payload{Kind: &autopilotv1.Payload_Json{Json: message}})
	if string(value.JSON()) != `{"l":[-3,1e+300],"n":1000000000000000,"x":0.5}` {
		t.Error(value)
	}
}
