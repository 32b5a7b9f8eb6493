namespace LabPortal.Web.Texts;

internal static class SayTexts
{
    /// <summary>A text of the pages with its arguments put in.</summary>
    public static string With(this string text, params (string Name, object Value)[] arguments) => Sentences.Fill(text, arguments);

    /// <summary>One or many; texts that are counted come in pairs.</summary>
    public static string Count(this long count, string one, string many) => (count == 1 ? one : many).With(("n", count));

    public static string Count(this int count, string one, string many) => Count((long)count, one, many);
}
