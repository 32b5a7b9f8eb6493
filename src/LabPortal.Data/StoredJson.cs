using System.Text.Json;
using System.Text.Json.Serialization;
using LabPortal.Domain;
using NodaTime;
using NodaTime.Serialization.SystemTextJson;

namespace LabPortal.Data;

/// <summary>Small structured values that are stored as one JSON text; enums as their words.</summary>
public static class StoredJson
{
    private static readonly JsonSerializerOptions s_options = new JsonSerializerOptions(JsonSerializerDefaults.Web)
    {
        Converters = { new WordConverterFactory(), new PlainValueConverter() },
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    }.ConfigureForNodaTime(DateTimeZoneProviders.Tzdb);

    public static string Write<T>(T value) => JsonSerializer.Serialize(value, s_options);

    public static T Read<T>(string json) => JsonSerializer.Deserialize<T>(json, s_options)
        ?? throw new FormatException($"A stored {typeof(T).Name} is null.");

    public static T? ReadOrDefault<T>(string? json) => json is null ? default : JsonSerializer.Deserialize<T>(json, s_options);

    private sealed class WordConverterFactory : JsonConverterFactory
    {
        public override bool CanConvert(Type typeToConvert) => typeToConvert.IsEnum;

        public override JsonConverter CreateConverter(Type typeToConvert, JsonSerializerOptions options)
            => (JsonConverter)Activator.CreateInstance(typeof(WordConverter<>).MakeGenericType(typeToConvert))!;
    }

    private sealed class WordConverter<T> : JsonConverter<T> where T : struct, Enum
    {
        public override T Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => Words.Read<T>(reader.GetString()!);

        public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options) => writer.WriteStringValue(value.Word());
    }

    /// <summary>Free data (user data of a blueprint) comes back as maps, lists, strings, numbers and booleans.</summary>
    private sealed class PlainValueConverter : JsonConverter<object>
    {
        public override object? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        {
            using var document = JsonDocument.ParseValue(ref reader);
            return Plain(document.RootElement);
        }

        public override void Write(Utf8JsonWriter writer, object value, JsonSerializerOptions options)
        {
            if (value.GetType() == typeof(object)) throw new JsonException("An object without content.");
            JsonSerializer.Serialize(writer, value, value.GetType(), options);
        }

        private static object? Plain(JsonElement element) => element.ValueKind switch
        {
            JsonValueKind.Object => element.EnumerateObject().ToDictionary(property => property.Name, property => Plain(property.Value)!, StringComparer.Ordinal),
            JsonValueKind.Array => element.EnumerateArray().Select(item => Plain(item)!).ToList(),
            JsonValueKind.String => element.GetString(),
            JsonValueKind.Number => element.TryGetInt64(out var whole) ? whole : element.GetDouble(),
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => null,
        };
    }
}
