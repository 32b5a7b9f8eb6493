using System.Reflection;
using System.Reflection.Emit;
using LabPortal.Operations.Labs;

namespace LabPortal.Web.Tests.Api;

/// <summary>Everything a page can do the API can do. Read from what was compiled: closures and method groups count, comments do not.</summary>
public sealed class CallsTests
{
    /// <summary>What pages call and the API does not, and why.</summary>
    private static readonly IReadOnlyDictionary<string, string> s_pagesAlone = new Dictionary<string, string>
    {
        ["PeopleCalls.SignInAsync"] = "It makes a session; programs come with a token.",
        ["PeopleCalls.LookAtLinkAsync"] = "A one-time link is for who has no token yet.",
        ["PeopleCalls.UseLinkAsync"] = "The same.",
        ["PeopleCalls.ActorOfAsync"] = "It reads who the session is of; the API reads that of the token.",
        ["PeopleCalls.TeamChoicesAsync"] = "GET /teams tells the same, with who is in them.",
        ["LabCalls.HistoryAsync"] = "GET /labs/{id}/events tells the same from the beginning, and goes on.",
        ["CatalogueCalls.CheckAsync"] = "PUT /apply?dryRun says the same of the text.",
        ["SettingsCalls.Set"] = "The values with which a form began; GET /settings tells them with where each comes from.",
        ["PeopleCalls.ChangePasswordAsync"] = "Only a session may, by intent: a token that was stolen must not shut its person out.",
    };

    private static readonly Assembly s_web = typeof(Program).Assembly;
    private static readonly IReadOnlyDictionary<short, OpCode> s_codes = typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static).Select(field => (OpCode)field.GetValue(null)!).ToDictionary(code => code.Value);

    [Fact]
    public void Everything_a_page_can_do_the_API_can_do()
    {
        var (pages, api) = (CallsOf("LabPortal.Web.Features"), CallsOf("LabPortal.Web.Api"));

        Assert.True(pages.IsSupersetOf(["LabCalls.RequestAsync", "QuotaCalls.SetLimitsAsync", "SettingsCalls.List"]), $"Calls of pages were not found: {string.Join(", ", pages)}.");
        Assert.Empty(pages.Except(api).Except(s_pagesAlone.Keys));
        // What the API came to do, or no page does any more, is no exception.
        var stale = s_pagesAlone.Keys.Where(call => api.Contains(call) || !pages.Contains(call)).ToList();
        Assert.Empty(stale);
    }

    /// <summary>The public methods of calls that the code under a namespace names.</summary>
    private static HashSet<string> CallsOf(string space)
    {
        const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;
        return
        [
            .. s_web.GetTypes().Where(type => type.Namespace == space || type.Namespace?.StartsWith(space + ".", StringComparison.Ordinal) == true)
                .SelectMany(type => type.GetMethods(All).Cast<MethodBase>().Concat(type.GetConstructors(All)))
                .SelectMany(Named)
                .Where(named => named is { IsPublic: true, IsSpecialName: false, DeclaringType: { } owner } && owner.Name.EndsWith("Calls", StringComparison.Ordinal) && (owner.Assembly == s_web || owner.Assembly == typeof(LabCalls).Assembly))
                .Select(named => $"{named.DeclaringType!.Name}.{named.Name}"),
        ];
    }

    /// <summary>Whatever a method calls or makes a delegate of (ECMA-335, III.1.2: an instruction is its code and an operand of a length that the code has).</summary>
    private static IEnumerable<MethodBase> Named(MethodBase method)
    {
        var code = method.GetMethodBody()?.GetILAsByteArray() ?? [];
        for (var at = 0; at < code.Length;)
        {
            var op = s_codes[code[at] == 0xFE ? (short)(0xFE00 | code[at + 1]) : code[at]];
            at += op.Size;
            if (op.OperandType == OperandType.InlineMethod)
                yield return method.Module.ResolveMethod(BitConverter.ToInt32(code, at), method.DeclaringType!.GetGenericArguments(), method.IsGenericMethod ? method.GetGenericArguments() : null)!;
            at += op.OperandType switch
            {
                OperandType.InlineNone => 0,
                OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                OperandType.InlineVar => 2,
                OperandType.InlineI8 or OperandType.InlineR => 8,
                OperandType.InlineSwitch => 4 + (4 * BitConverter.ToInt32(code, at)),
                _ => 4,
            };
        }
    }
}
