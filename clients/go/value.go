package autopilot

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"

	autopilotv1 "github.com/autopilot-jobs/autopilot/generated/go/autopilot/v1"
	"google.golang.org/protobuf/types/known/structpb"
)

const textFormat = autopilotv1.PayloadFormat_PAYLOAD_FORMAT_JSON_TEXT

// What [Value.Decode] returns when there is nothing to decode.
var (
	ErrNoValue = errors.New("autopilot: the response has no value here")
	ErrOmitted = errors.New("autopilot: the value was too large for its response")
)

// Value is a JSON value, exactly as the server has it; or none. It may be given to
// calls as an input.
type Value struct {
	text json.RawMessage
	size int64
}

// IsMissing says that the response has no value here, which is not JSON's null.
func (v Value) IsMissing() bool { return v.text == nil && v.size == 0 }

// Omitted is the size of a value that was too large for its response, and whether
// it was.
func (v Value) Omitted() (sizeBytes int64, omitted bool) { return v.size, v.size > 0 }

// JSON is the value as JSON text; nil when there is none.
func (v Value) JSON() json.RawMessage { return v.text }

// Decode stores the value in what `target` points to, as json.Unmarshal does.
// Numbers become json.Number where the type does not say otherwise, so that none is
// rounded. [ErrNoValue], [ErrOmitted], and json's own errors.
func (v Value) Decode(target any) error {
	if v.IsMissing() {
		return ErrNoValue
	}
	if v.text == nil {
		return ErrOmitted
	}
	decoder := json.NewDecoder(bytes.NewReader(v.text))
	decoder.UseNumber()
	return decoder.Decode(target)
}

// MarshalJSON is the value's own text.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.IsMissing() {
		return nil, ErrNoValue
	}
	if v.text == nil {
		return nil, ErrOmitted
	}
	return v.text, nil
}

// String is the JSON text, for people.
func (v Value) String() string {
	switch {
	case v.IsMissing():
		return "(no value)"
	case v.text == nil:
		return "(omitted)"
	}
	return string(v.text)
}

// --- out ---

// payload is a value as exact JSON text.
func payload(value any) (*autopilotv1.Payload, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	trimmed := bytes.TrimRight(text.Bytes(), "\n")
	return &autopilotv1.Payload{Kind: &autopilotv1.Payload_JsonText{JsonText: string(trimmed)}}, nil
}

// optionalPayload is a value that may not be given: nil is not.
func optionalPayload(value any) (*autopilotv1.Payload, error) {
	if value == nil {
		return nil, nil
	}
	return payload(value)
}

// --- in ---

func valueOf(message *autopilotv1.Payload) Value {
	switch kind := message.GetKind().(type) {
	case *autopilotv1.Payload_JsonText:
		return Value{text: json.RawMessage(kind.JsonText)}
	case *autopilotv1.Payload_Json:
		return plainValue(kind.Json)
	case *autopilotv1.Payload_Omitted:
		// At least one byte: it was there.
		return Value{size: max(kind.Omitted.GetSizeBytes(), 1)}
	}
	return Value{}
}

func structValue(message *structpb.Struct) Value {
	if message == nil {
		return Value{}
	}
	return plainValue(structpb.NewStructValue(message))
}

// plainValue is a google.protobuf.Value, whose numbers are doubles, as JSON.
func plainValue(message *structpb.Value) Value {
	// Cannot fail: what AsInterface gives is JSON, NaN and infinities as texts.
	text, _ := json.Marshal(whole(message.AsInterface()))
	return Value{text: text}
}

// whole makes whole numbers integers, as they were before they were doubles.
func whole(value any) any {
	switch value := value.(type) {
	case float64:
		if value == math.Trunc(value) && math.Abs(value) < 1<<63 {
			return int64(value)
		}
	case []any:
		for index := range value {
			value[index] = whole(value[index])
		}
	case map[string]any:
		for key := range value {
			value[key] = whole(value[key])
		}
	}
	return value
}
