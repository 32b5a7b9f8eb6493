using System.Text.Json;
using System.Text.Json.Serialization;
using LabPortal.Domain;
using NodaTime;
using NodaTime.Serialization.SystemTextJson;

namespace LabPortal.Web.Api;

/// <summary>How the API writes: camelCase, instants as RFC 3339 in UTC, states as their words, ids as canonical UUIDs.</summary>
internal static class Json
{
    public static void Configure(JsonSerializerOptions options)
    {
        options.ConfigureForNodaTime(DateTimeZoneProviders.Tzdb);
        options.Converters.Add(new Words());
        options.Converters.Add(new Id<LabId>());
        options.Converters.Add(new Id<MachineId>());
        options.Converters.Add(new Id<RunId>());
        options.Converters.Add(new Id<PersonId>());
        options.Converters.Add(new Id<TeamId>());
        options.Converters.Add(new Id<PoolId>());
    }

    private sealed class Words : JsonConverterFactory
    {
        public override bool CanConvert(Type typeToConvert) => typeToConvert.IsEnum;

        public override JsonConverter CreateConverter(Type typeToConvert, JsonSerializerOptions options)
            => (JsonConverter)Activator.CreateInstance(typeof(Word<>).MakeGenericType(typeToConvert))!;
    }

    private sealed class Word<T> : WriteOnly<T> where T : struct, Enum
    {
        public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options) => writer.WriteStringValue(value.Word());
    }

    private sealed class Id<T> : WriteOnly<T> where T : struct
    {
        public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options) => writer.WriteStringValue(value.ToString());
    }

    /// <summary>Bodies are read by <see cref="Body"/>, which tells every mistake; nothing is deserialised into these.</summary>
    private abstract class WriteOnly<T> : JsonConverter<T>
    {
        public override T Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
            => throw new NotSupportedException($"{typeof(T).Name} is only written.");
    }
}
