using Xunit;

namespace LabPortal.Providers.Tests;

internal static class Eventually
{
    /// <summary>Looks again until it holds, six seconds at the least: a peer's reads lag, and its changes take their time.</summary>
    public static async Task EventuallyAsync(Func<Task> assertionAsync)
    {
        for (var tries = 0; ; tries++)
        {
            try
            {
                await assertionAsync();
                return;
            }
            catch (Xunit.Sdk.XunitException) when (tries < 300)
            {
                await Task.Delay(20, TestContext.Current.CancellationToken);
            }
        }
    }
}
