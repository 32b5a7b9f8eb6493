using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Domain.Tests.Pools;

public sealed class SettingsSchemaTests
{
    private static readonly SettingsSchema Schema = new(
    [
        new("hosts", SettingKind.List, "Hosts", "The hosts.", Required: true, Min: 1, Max: 3, Items:
        [
            new("name", SettingKind.Text, "Name", "Its name.", Required: true, IsName: true),
            new("uri", SettingKind.Text, "URI", "Its address.", Default: "qemu:///system"),
            new("slots", SettingKind.Integer, "Slots", "How many.", Min: 1, Max: 8),
        ]),
        new("rate", SettingKind.Number, "Rate", "A share.", Default: 0, Min: 0, Max: 1),
        new("count", SettingKind.Integer, "Count", "A number.", Default: 4),
        new("fast", SettingKind.Boolean, "Fast", "Whether.", Default: true),
        new("mode", SettingKind.Text, "Mode", "One of two.", OneOf: ["nat", "bridge"]),
        new("places", SettingKind.Text, "Places", "Where.", HasParts: true),
        new("password", SettingKind.Secret, "Password", "Goes to the secret store."),
    ]);

    [Fact]
    public void A_good_value_has_no_mistakes() => Assert.Empty(Mistakes("""
        {"hosts": [{"name": "a"}, {"name": "b", "uri": "x", "slots": 8}], "rate": 0.5, "count": -3, "fast": false, "mode": "nat", "password": "p"}
        """));

    [Fact]
    public void Every_mistake_is_told_at_once_with_its_field() => Assert.Equal(
        [
            "settings.colour setting.unknown",
            "settings.hosts[0].nmae setting.unknown",
            "settings.hosts[0].name setting.required",
            "settings.hosts[1].slots setting.range",
            "settings.hosts[2] setting.not-an-object",
            "settings.rate setting.range",
            "settings.count setting.not-an-integer",
            "settings.fast setting.not-a-boolean",
            "settings.mode setting.one-of",
            "settings.password setting.not-text",
        ],
        Mistakes("""
        {"hosts": [{"nmae": "a"}, {"name": "b", "slots": 9}, 5], "rate": 1.5, "count": 1.5, "fast": "yes", "mode": "wifi", "password": 5, "colour": "red"}
        """));

    [Theory]
    [InlineData("""{}""", "settings.hosts setting.required")]
    [InlineData("""{"hosts": null}""", "settings.hosts setting.required")]
    [InlineData("""{"hosts": {}}""", "settings.hosts setting.not-a-list")]
    [InlineData("""{"hosts": []}""", "settings.hosts setting.length")]
    [InlineData("""{"hosts": [{"name": "a"}, {"name": "a"}, {"name": "a"}, {"name": "a"}]}""", "settings.hosts setting.length")]
    [InlineData("""{"hosts": [null]}""", "settings.hosts[0] setting.not-an-object")]
    [InlineData("""{"hosts": [{"name": "a"}], "rate": "0.5"}""", "settings.rate setting.not-a-number")]
    [InlineData("""{"hosts": [{"name": "a"}], "rate": -1}""", "settings.rate setting.range")]
    [InlineData("""{"hosts": [{"name": "a"}], "rate": true}""", "settings.rate setting.not-a-number")]
    [InlineData("""{"hosts": [{"name": "a"}], "mode": ["nat"]}""", "settings.mode setting.not-text")]
    [InlineData("""{"hosts": [{"name": "a"}], "mode": "NAT"}""", "settings.mode setting.one-of")]
    [InlineData("""{"Hosts": [{"name": "a"}], "hosts": [{"name": "a"}]}""", "settings.Hosts setting.unknown")]
    public void A_mistake_names_its_field_and_its_code(string json, string mistake) => Assert.Equal([mistake], Mistakes(json));

    /// <summary>A name becomes a word of logs, metrics and pages; any other text is one line that says what it seems to say.</summary>
    [Fact]
    public void No_hostile_text_gets_through()
    {
        foreach (var text in HostileStrings.Some(500))
        {
            var name = Mistakes(new JsonObject { ["hosts"] = new JsonArray(new JsonObject { ["name"] = text }) }.ToJsonString());
            // A single letter or digit among the pieces, or one with another, is a name.
            if (text.Length is 0 or > 253 || text.Any(letter => !char.IsAsciiLetterOrDigit(letter) && letter is not ('.' or '-' or '_'))) Assert.Equal(["settings.hosts[0].name setting.name"], name);
            var uri = Mistakes(new JsonObject { ["hosts"] = new JsonArray(new JsonObject { ["name"] = "a", ["uri"] = text }) }.ToJsonString());
            if (text.Length > 4000 || text.Trim().Any(letter => char.IsControl(letter) || letter is '\u202e' or '\u2028' or '\u200b')) Assert.Equal(["settings.hosts[0].uri setting.one-line"], uri);
        }
    }

    [Theory]
    [InlineData("name", 253, "")]
    [InlineData("name", 254, "settings.hosts[0].name setting.name")]
    [InlineData("uri", 4000, "")]
    [InlineData("uri", 4001, "settings.hosts[0].uri setting.one-line")]
    public void A_name_is_as_long_as_a_host_s_may_be_and_a_text_as_a_list_of_them(string setting, int length, string mistake)
    {
        var host = new JsonObject { ["name"] = "a" };
        host[setting] = new string('a', length);
        Assert.Equal(mistake, string.Join(' ', Mistakes(new JsonObject { ["hosts"] = new JsonArray(host) }.ToJsonString())));
    }

    [Theory]
    [InlineData("mode", "nat\n", "setting.one-of")]
    [InlineData("places", "one\n", "")]
    [InlineData("places", "one,\n  two,\r\nthree\n", "")]
    [InlineData("places", "one\ntwo", "setting.one-line")]
    [InlineData("places", "one,\ntwo\u202e", "setting.one-line")]
    public void A_text_may_end_with_the_end_of_a_line_and_be_broken_between_its_parts(string setting, string text, string mistake)
    {
        var errors = Schema.Validate(new JsonObject { ["hosts"] = new JsonArray(new JsonObject { ["name"] = "a", ["uri"] = "here\n" }), [setting] = text });
        Assert.Equal(mistake, string.Join(' ', errors.Select(error => error.Code)));
    }

    [Fact]
    public void A_range_tells_its_bounds_and_a_choice_its_words()
    {
        var errors = Schema.Validate(Read("""{"hosts": [{"name": "a"}], "rate": 2, "mode": "wifi", "bogus": 1}"""), "pool");
        Assert.Equal([("min", 0d), ("max", 1d)], errors.Single(error => error.Field == "pool.rate").Arguments!);
        Assert.Equal([("allowed", "nat, bridge")], errors.Single(error => error.Field == "pool.mode").Arguments!);
        Assert.Equal([("known", "hosts, rate, count, fast, mode, places, password")], errors.Single(error => error.Field == "pool.bogus").Arguments!);
    }

    [Fact]
    public void An_error_never_repeats_the_value_that_was_given()
    {
        var errors = Schema.Validate(Read("""{"hosts": "hunter2", "rate": "hunter2", "password": ["hunter2"], "mode": "hunter2"}"""));
        Assert.Equal(4, errors.Count);
        Assert.All(errors, error => Assert.DoesNotContain("hunter2", $"{error} {string.Join(' ', error.Arguments ?? [])}", StringComparison.Ordinal));
    }

    [Fact]
    public void Numbers_made_in_code_pass_as_those_read_from_text()
    {
        var value = new JsonObject { ["hosts"] = new JsonArray(new JsonObject { ["name"] = "a", ["slots"] = 3L }), ["rate"] = 1, ["count"] = 7.0 };
        Assert.Empty(Schema.Validate(value));
    }

    [Fact]
    public void Defaults_fill_what_is_absent_and_leave_the_rest()
    {
        var given = Read("""{"hosts": [{"name": "a"}, {"name": "b", "uri": "mine"}], "rate": 0.25, "fast": false}""");
        var before = given.ToJsonString();
        var filled = Schema.WithDefaults(given);
        Assert.Equal(before, given.ToJsonString());
        Assert.True(JsonNode.DeepEquals(filled, Read("""
            {"hosts": [{"name": "a", "uri": "qemu:///system"}, {"name": "b", "uri": "mine"}], "rate": 0.25, "fast": false, "count": 4}
            """)), filled.ToJsonString());
        Assert.True(JsonNode.DeepEquals(filled, Schema.WithDefaults(filled)));
        Assert.Empty(Schema.Validate(filled));
    }

    [Fact]
    public void A_default_is_given_out_as_a_copy()
    {
        var first = Schema.WithDefaults(Read("{}"));
        first["rate"] = 9;
        Assert.Equal(0, Schema.WithDefaults(Read("{}"))["rate"]!.GetValue<int>());
    }

    [Fact]
    public void An_explicit_null_means_the_default() =>
        Assert.Equal(4, Schema.WithDefaults(Read("""{"count": null}"""))["count"]?.GetValue<int>());

    private static IEnumerable<string> Mistakes(string json) => Schema.Validate(Read(json)).Select(error => $"{error.Field} {error.Code}");

    private static JsonObject Read(string json) => JsonNode.Parse(json)!.AsObject();
}
