using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace LabPortal.Cli.Shell;

/// <summary>The answer on the standard output, and nothing else there.</summary>
internal static class Answer
{
    // The default encoder leaves only ASCII as it is: safe wherever it is printed.
    private static readonly JsonSerializerOptions s_json = new() { WriteIndented = true };

    public static Option<string> FormOption()
    {
        var form = new Option<string>("--output", "-o") { Description = "The answer's form; json and yaml are what the API gave.", Recursive = true, DefaultValueFactory = _ => "table" };
        return form.AcceptOnlyFromAmong("table", "json", "yaml");
    }

    public static void Write(JsonNode answer, string? form, Func<JsonNode, IRenderable> table)
    {
        switch (form)
        {
            case "json":
                Console.Out.WriteLine(answer.ToJsonString(s_json));
                break;
            case "yaml":
                Console.Out.Write(YamlText.Of(answer));
                break;
            default:
                Terminal.Draw(table(answer));
                break;
        }

        Console.Out.Flush();
    }
}

/// <summary>A column of a table: its title, and what it says of an item.</summary>
internal sealed record Column(string Title, Func<JsonNode, string> Of, bool IsNumber = false)
{
    /// <summary>A field of the item as it is.</summary>
    public static Column Field(string title, string path, bool isNumber = false) => new(title, item => item.Text(path), isNumber);
}

internal static class Tables
{
    public static IRenderable Rows(IEnumerable<JsonNode> items, params ReadOnlySpan<Column> columns)
    {
        var shown = columns.ToArray();
        var table = new Table().Border(TableBorder.None);
        foreach (var column in shown)
        {
            var made = new TableColumn(new Text(column.Title, new Style(decoration: Decoration.Bold))) { Padding = new Padding(0, 0, 2, 0) };
            table.AddColumn(column.IsNumber ? made.RightAligned() : made);
        }

        foreach (var item in items) table.AddRow(shown.Select(column => (IRenderable)new Text(Safe.Cell(column.Of(item)))));
        return table;
    }

    /// <summary>One thing: a line for each fact; facts without a value are left out.</summary>
    public static IRenderable Facts(params IEnumerable<(string Title, string Value)> facts)
    {
        var grid = new Grid().AddColumn(new GridColumn().NoWrap().PadRight(2)).AddColumn(new GridColumn().PadRight(0));
        foreach (var (title, value) in facts.Where(fact => fact.Value.Length > 0)) grid.AddRow(new Text(title), new Text(Safe.Line(value)));
        return grid;
    }

    /// <summary>One below the other, an empty line between them; a table without rows is left out.</summary>
    public static IRenderable Stack(params IEnumerable<IRenderable> parts)
        => new Rows(parts.Where(part => part is not Table { Rows.Count: 0 }).SelectMany((part, i) => i == 0 ? [part] : new[] { Text.Empty, part }));
}
