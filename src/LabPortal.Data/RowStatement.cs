using System.Collections.Concurrent;
using System.Data.Common;
using System.Numerics;
using System.Reflection;
using System.Text;

namespace LabPortal.Data;

/// <summary>
/// A change that is made to many rows by one statement, in words that both databases know: <c>{rows}</c> in the text stands for the
/// tuples, each a <paramref name="row"/> with its own parameters. Dapper has no such form.
/// </summary>
/// <param name="sql">The text, with <c>{rows}</c>.</param>
/// <param name="row">One tuple, <c>(@Id, @State)</c>; the parameters are properties of the row's object.</param>
/// <param name="adds">It only adds rows or removes them: several of one key may go together.</param>
internal sealed class RowStatement(string sql, string row, bool adds = false)
{
    /// <summary>Well below the number of parameters that SQLite allows (32,766).</summary>
    public const int MostRows = 1000;

    private static readonly ConcurrentDictionary<Type, PropertyInfo[]> s_properties = new();

    private readonly string[] _names = [.. row.Trim('(', ')').Split(", ").Select(name => name.TrimStart('@'))];
    private readonly ConcurrentDictionary<int, string> _texts = new();
    private readonly string[] _sql = sql.Split("{rows}");

    public bool Adds { get; } = adds;

    public string Text(int rows) => BitOperations.IsPow2(rows) ? _texts.GetOrAdd(rows, Write) : Write(rows);

    private string Write(int rows)
    {
        var text = new StringBuilder(_sql[0]);
        for (var i = 0; i < rows; i++)
        {
            text.Append(i == 0 ? "(" : ", (");
            for (var n = 0; n < _names.Length; n++) text.Append(n == 0 ? "@" : ", @").Append(_names[n]).Append('_').Append(i);
            text.Append(')');
        }

        return text.Append(_sql[1]).ToString();
    }

    public void Bind(IReadOnlyList<object> rows, Func<DbParameter> create, DbParameterCollection parameters)
    {
        var properties = s_properties.GetOrAdd(rows[0].GetType(), type => type.GetProperties());
        var columns = Array.ConvertAll(_names, name => Array.Find(properties, property => property.Name == name) ?? throw new ArgumentException($"A row has no {name}."));
        for (var i = 0; i < rows.Count; i++)
        {
            for (var n = 0; n < columns.Length; n++)
            {
                var parameter = create();
                parameter.ParameterName = $"{_names[n]}_{i}";
                DapperTypes.Set(parameter, columns[n].PropertyType, columns[n].GetValue(rows[i]));
                parameters.Add(parameter);
            }
        }
    }
}
