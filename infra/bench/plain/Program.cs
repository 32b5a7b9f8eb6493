using LabPortal.Bench.Plain;
using Microsoft.AspNetCore.DataProtection;

// What the page of labs is compared with: a page in a host of its own, at the vendor's defaults, with nothing of ours.
var builder = WebApplication.CreateBuilder(args);
// It is started from where it was built, and leaves no keys behind.
builder.WebHost.UseStaticWebAssets();
builder.Services.AddDataProtection().UseEphemeralDataProtectionProvider();
builder.Services.AddRazorComponents().AddInteractiveServerComponents();
var app = builder.Build();
app.UseAntiforgery();
app.MapStaticAssets();
app.MapRazorComponents<PlainApp>().AddInteractiveServerRenderMode();
await app.RunAsync();
